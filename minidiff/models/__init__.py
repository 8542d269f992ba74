"""The networks, one file each: U-Net, VAE, DiTs, CLIP, SigLIP, and the detector behind the judge."""
