// How many passwords one core compares: the ceiling of logins. Prints comparisons per second.
import argon2 from 'argon2';

const options = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 };
const stored = await argon2.hash('a long bench password', options);
const started = performance.now();
let compared = 0;
while (performance.now() - started < Number(process.argv[2])) {
  await argon2.verify(stored, 'a long bench password');
  compared += 1;
}
console.log(compared / ((performance.now() - started) / 1000));
