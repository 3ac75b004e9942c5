"""Where models and prices come from: one small file a source, each giving `ListedModel`s and judging nothing."""
