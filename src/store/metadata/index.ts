export { type Database, openDatabase, type Row, type Value } from './database.ts';
