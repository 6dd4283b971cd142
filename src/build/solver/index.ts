export { describeDifference, keyOf } from './key.ts';
export { createSolver, type OpDrivers, type Solve, type Solver, type SolverOptions } from './solver.ts';
