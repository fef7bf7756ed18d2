"""Pictures of samples: what to draw on, one function in axes, whole previews."""
