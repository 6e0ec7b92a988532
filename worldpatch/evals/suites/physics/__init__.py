"""Does a video model know how things move? Scenes whose truth a physics engine knows, measured in pixels."""
