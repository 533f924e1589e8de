/**
 * What comparing a password with a stored hash costs, in a measure that two hashes of one family share. Families with
 * one parameter count in it (iterations); where parameters cannot be added up, each set of them is a family whose hashes
 * cost one unit.
 */
export interface HashCost {
  family: string;
  units: number;
}

export interface ReadHash extends HashCost {
  /** Compares with the password as it was typed. */
  matches(password: string): Promise<boolean>;
}

/** One way in which passwords have been hashed. */
export interface PasswordScheme {
  /** `undefined` for what is not of this scheme, is malformed, or would cost more than anybody may be made to pay. */
  read(stored: string): ReadHash | undefined;
  /** Does the work of a comparison of this cost; `undefined` when the family is not of this scheme. */
  spend(cost: HashCost, password: string): Promise<void> | undefined;
}
