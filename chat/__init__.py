"""The map. The way of a turn:

composer form
  → web.actions → web.access (the only door to rows) → conversations.ask: check, then store
  → on commit: turns.start(response), a task of this process
turns.parts: a summary of what is too long for the model: read by parts first, and noted in the question
turns.run: history → input items → engines (Provider → client) → responses.client.stream → events
  → fold into a draft; the final payload wins over the deltas
  → what a summary states is compared with the pages that it cites: turns.checking
  → exactly one terminal state, stored by turns.writer before the page is told
  → what the model made is noted with the end, and fetched at once: turns.made
turns.forgetting: what was deleted here is deleted at the provider, again and again until it is gone
turns.resuming: a stream that broke is gone on with, or fetched; turns.sweep: a run whose process died is adopted, or
  closed with its text
turns.hub: the live state of each running response, and the tabs that watch it
web.socket: one consumer per tab; subscribe first, one snapshot, then only what is newer

Each room imports only from rooms below it:
web | admin | management → turns → conversations → engines → tools | rendering | offline
→ files → models → responses
"""
