/** The build graph: making it, naming its vertices, ordering them. Pure. */
export { GraphBuilder, type VertexDetails } from './builder.ts';
export { digestOfVertex } from './digest.ts';
export { orderVertices } from './order.ts';
