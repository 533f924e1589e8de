/** Freezes a plain value through and through: it will be shared, and nobody may change what others see. */
export function deepFreeze<T extends object>(value: T): T {
  if (Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) if (isPlain(inner)) deepFreeze(inner);
  return Object.freeze(value);
}

/** A URL keeps what it holds elsewhere, and works on after that. */
const isPlain = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !(value instanceof URL);
