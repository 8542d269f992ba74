"""The networks, one architecture a file: unet, vae (pictures to latents and back), dit (told words), class_dit (told a
label), clip and siglip (text and picture towers)."""
