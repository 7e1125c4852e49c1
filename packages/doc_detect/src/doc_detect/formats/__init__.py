"""Forms of labelled pages: COCO, Label Studio, PAGE-XML and ALTO."""
