"""Files of annotation tools and editing systems: one reader a format, all giving `ToolAnnotation`s."""
