"""From the microphone to words, and from words to the loudspeaker."""
