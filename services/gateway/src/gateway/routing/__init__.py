"""From the model that a client names to the deployments that may answer."""
