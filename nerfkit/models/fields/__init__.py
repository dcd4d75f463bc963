"""What models of rays share: the space they fill, batches of pixels, where there is anything, and drawing."""
