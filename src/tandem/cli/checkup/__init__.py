"""What a fleet needs of this computer, looked at before anything is started and by `tandem doctor`."""
