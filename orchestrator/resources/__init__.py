"""mendloop's own objects in a cluster: models that are read, states that are written back."""
