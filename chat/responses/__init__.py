"""The protocol: a typed, tolerant client of the Responses API, and the fold of its stream into one answer.

bytes → sse (frames) → events (frozen values) → fold (a draft of the answer); client asks, transport carries,
dialects says what each kind of server can do, errors says what went wrong, once for the person and once for the log.

    async with open_http() as http:
        client = Client(Endpoint("https://NAME.openai.azure.com/", DIALECTS["azure"], key), http)
        draft = Draft()
        async with client.stream({"model": "gpt-4o", "input": "Hello"}) as stream:
            async for event in stream:
                draft.apply(event)
        print(draft.text())

Nothing in here knows Django, a database or a page.
"""
