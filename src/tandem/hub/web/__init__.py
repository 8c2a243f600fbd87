"""The pages a hub serves: House, Errors, Turns, Talk, Doctor.

routes     every address, and what a page may raise
render     templates, and what all pages share
words      how figures, times and states are said
drawing    bars and lines as SVG
house, incidents, turns, talk, doctor   what each page shows
"""
