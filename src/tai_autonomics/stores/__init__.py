"""Where receipts rest: one package a store, each written for its engine, all behind one port."""
