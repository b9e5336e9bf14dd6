"""From a person's file to an input part of a request.

intake receives it in slices → inspect says what it is, or refuses with a sentence (pdf and images look
inside) → it rests in storage → delivery turns it into what the provider takes. On the way estimate says how
many tokens it will be, and excerpt makes a shorter document of a long one; paint shows it page by page.
"""
