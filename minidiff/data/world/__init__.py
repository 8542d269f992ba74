"""The drawn world: scenes, how they are drawn, and what people say of them."""
