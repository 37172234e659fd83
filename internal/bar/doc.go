// Package bar has the operating system drop what a source sends far too much of. To take a
// packet, or a connection, in so that it can be dropped is most of what a flood of them
// costs; this way it costs whoever delivers it.
//
// A listening socket has a [Bar], which counts what its owner drops, by source. While that is
// very much the socket has a filter, for a quarter of a second at a time; in peace it has none. Filters
// are classic BPF, which Linux has and for which no privileges are needed; elsewhere, or where
// that is forbidden, nothing is barred. They drop what begins a connection, and noise:
// connections that are open go on, whatever their source does.
package bar
