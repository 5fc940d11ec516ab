"""Task groups: pipelines made of the operators."""
