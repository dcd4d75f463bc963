export { createViewer } from "@playcanvas/supersplat-viewer/viewer";
