"""The networks, one architecture a file: vae (pictures to latents and back), clip (text and picture towers), dit."""
