// The core imports one function from its host besides memory, without arguments. The file's name is the import's module
// name. Everything that a call says, it says through the control block (layout.ts).

/** Submits what is staged in the window. Called by the core only when the window fills up in mid-turn. */
export declare function enter(): void;
