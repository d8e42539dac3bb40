export { type OrderResult, type RebuildHost, RebuildOrders } from './orders.ts';
