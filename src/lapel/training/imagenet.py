"""What every ImageNet backbone here takes: RGB of 0..1, less this mean, divided by this deviation."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
