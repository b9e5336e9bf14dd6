"""Text → safe HTML blocks, closed ones frozen; loaded objects → fragments. Nothing here queries.

markdown    what the model wrote becomes HTML here and nowhere else
patch       what the open block gained since a tab saw it last
highlight   code → spans with classes
math        TeX → MathML
"""
