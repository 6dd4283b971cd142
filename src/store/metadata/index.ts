export { type Database, openDatabase, type Row, type Value } from './database.ts';
export { createDurability, type Durability, dropLostRows } from './durability.ts';
