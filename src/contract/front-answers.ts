import { ref } from './ref.js';
import { Pair, Verified } from './tokens.js';
import { User } from './user.js';

/** What the routes of src/front.ts answer with. */
export const FRONT_ANSWERS = [ref(User), ref(Pair), Verified];
