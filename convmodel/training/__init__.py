"""What is trained by `python -m convmodel.trainer`: one LightningModule per family, and the callbacks they share."""
