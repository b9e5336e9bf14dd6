"""The embedded engine: answers the Responses wire with no network and no model.

transport (an httpx request) or offline_engine (a port) → app (routes, errors) → refusals (what this dialect does not
take) → intake (body → what was asked; options, history) → answer (what to say, worked out in a thread: talk, then
calls of functions, or tools such as recipes, drawing, mcp, or words) → pieces (what was worked out, as events)
→ narration (in order, at a pace) → framing (events → frames in the dialect's words)
store keeps responses and files in memory and a temporary folder; wires says how each dialect differs; faults and
spoiling make all of it fail on purpose.
"""
