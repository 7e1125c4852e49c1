"""What a training needs besides the model."""
