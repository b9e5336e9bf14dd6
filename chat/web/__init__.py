"""The edge: pages, actions, uploads and the socket. Check access, call one operation, return a fragment."""
