import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recsys_bnn.training.ftrl import FTRL  # noqa: E402


def test_each_step_is_that_of_the_paper() -> None:
    """Against Alg. 1 written as a loop over single weights in float64."""
    generator, lr, l2, beta, rows = np.random.default_rng(0), 0.3, 2.0, 1.0, 8
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer = FTRL([weight], lr, l2, rows, beta)
    z, n, w = np.zeros(3), np.zeros(3), np.zeros(3)
    for _ in range(20):
        mean = generator.normal(size=3) * [0.1, 1, 0]  # the last value is never read
        weight.grad = torch.tensor(mean, dtype=torch.float32)
        optimizer.step()
        for i, g in enumerate(mean * rows):
            sigma = (np.sqrt(n[i] + g * g) - np.sqrt(n[i])) / lr
            z[i] += g - sigma * w[i]
            n[i] += g * g
            w[i] = -z[i] / ((beta + np.sqrt(n[i])) / lr + l2)
    np.testing.assert_allclose(weight.detach().numpy(), w, rtol=1e-4)
    assert weight[2] == 0


def test_it_comes_close_to_logistic_regression_with_the_same_penalty() -> None:
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    x = np.eye(5, dtype=np.float32)[generator.integers(5, size=400)]
    y = (generator.random(400) < x @ [0.1, 0.3, 0.5, 0.7, 0.9]).astype(np.float32)
    expected = LogisticRegression(C=0.1, fit_intercept=False).fit(x, y).coef_[0]
    weight, passes = torch.nn.Parameter(torch.zeros(5)), 30
    optimizer = FTRL([weight], 0.1, 10.0 * passes, 20)
    features, clicks = torch.from_numpy(x), torch.from_numpy(y)
    for step in range(passes * 20):
        part = slice(step % 20 * 20, step % 20 * 20 + 20)
        optimizer.zero_grad()
        logits = features[part] @ weight
        torch.nn.functional.binary_cross_entropy_with_logits(logits, clicks[part]).backward()
        optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=0.1, atol=0.01)


def test_a_weight_that_does_not_begin_at_zero_stays_where_no_row_names_it() -> None:
    weight = torch.nn.Parameter(torch.tensor([0.7, -0.2]))
    optimizer = FTRL([weight], 0.1, 10.0, 4)
    weight.grad = torch.tensor([0.0, 0.5])
    optimizer.step()
    first, second = weight.tolist()
    assert abs(first - 0.7) < 1e-6 and second < -0.2
