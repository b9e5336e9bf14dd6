// Web storage that may be blocked or full: then nothing is remembered, and nothing breaks.

export function remember(storage, key, value) {
  try {
    if (value) window[storage].setItem(key, value);
    else window[storage].removeItem(key);
  } catch {
    // Blocked or full.
  }
}

export function forgetAll(storage) {
  try {
    window[storage].clear();
  } catch {
    // Blocked.
  }
}

export function recall(storage, key) {
  try {
    return window[storage].getItem(key) ?? "";
  } catch {
    return "";
  }
}
