"""The embedded engine: answers the Responses wire with no network and no model.

transport (an httpx request) or offline_engine (a port) → app (routes, errors) → intake (body → what was asked)
→ answer (what to say, worked out in a thread) → narration (output items → events) → sse frames
store keeps responses and files in memory and a temporary folder; wires says how each dialect differs.
"""
