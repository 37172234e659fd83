// Package mux makes the streams of a [transport.Conn], and the lane of a
// session, out of one ordered byte pipe.
package mux
