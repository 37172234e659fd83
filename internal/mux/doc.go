// Package mux makes the streams of a [transport.Conn], and the lane of a
// session, out of one ordered byte pipe, the link.
//
// What follows specifies the protocol, version 1, for a second implementation.
// All numbers are big-endian.
//
// # Preface
//
// Each direction begins with the eight bytes "KITHMUX" and 1, the version.
// An end sends them with, or before, the first it has to say, and does not wait
// for the other's. An end that reads anything else closes the connection. (On a
// plaintext link of package netconn, the end that dials sends its preface at
// once, as its half of the handshake.)
//
// # Frames
//
// Frames follow, each with a header of twelve bytes:
//
//	0      type (high four bits) and flags (low four bits)
//	1..3   length of the payload
//	4..11  stream id
//
//	type         id  payload                  flags
//	1 DATA       0   up to 1,048,576 bytes    none
//	1 DATA       >0  up to 65,536 bytes       1 open, 2 end, 4 and 8 waited
//	2 RESET      >0  code (4 bytes)           1 open
//	3 STOP       >0  code (4)                 none
//	4 WINDOW     any limit (8)                none
//	5 STREAMS    0   limit (8)                none
//	6 CLOSE      0   code (4), reason (≤ 256) none
//
// Any other type, flag, id or length is an error. On an error of the other end
// an end sends CLOSE and closes the link. New frame types take a new version.
//
// # The lane
//
// DATA on id 0 is a byte stream of its own for the session above, with no flow
// control but the session's: what one end can make the other one hold is for
// the session to bound. The end that dialled sends first. At an end that
// accepted, and has no session that knows of the lane, it is the first stream
// accepted; at any other end without one, an error.
//
// # Streams
//
// The end that dialled opens the streams 1, 3, 5 and so on, the other one 2, 4,
// 6, with none left out. The first frame of a stream, DATA or RESET, carries the
// flag open; no other frame does.
//
// Either end writes DATA, and ends its writing with the flag end on the last
// frame, which may be empty; or aborts it with RESET, also after end. What the
// other end has not read then is lost. DATA after either is an error; RESET, STOP
// and WINDOW are not, as they may have crossed.
//
// STOP says that its sender reads no more. An end that gets it, and has not
// ended its writing, sends RESET with the same code, at once. STOP may not be the
// first frame of a stream.
//
// A stream is finished at an end when the application there has closed it, and
// the other end has ended its writing, one way or the other. Frames on an id
// that no end opened are an error; RESET, STOP and WINDOW on one that is
// finished have no effect.
//
// # Credit
//
// At first each end may open 16 streams. STREAMS raises this to its limit, a
// count of all streams that the receiver of the frame may ever open. An end
// grants a new stream only for one that is finished, so that no more than a
// limit of its own (1,024 by default) can be open. It does so when no other
// frame for a stream is left to send; and for streams that the other end reset,
// unless that was after a STOP, 128 at once and then 16,000 a second.
//
// A DATA frame on a stream costs its payload's length and 64, or nothing if the
// payload is empty. An end may send cost up to 262,144 on each stream, and up
// to 1,048,576 on all together. WINDOW raises this to its limit, a sum of all
// costs since the stream, or with id 0 the connection, began. To open or send
// beyond a limit is an error. A limit that is not higher than one before has
// no effect.
//
// An end grants as the application reads, or when what came is discarded, and
// at the latest when half of what may be unread at once is free. So a sender
// may wait, rather than send a small frame, as long as it has less than 2,112
// left. Its next frame carries the flag 4 if it had to wait for the stream's
// credit, 8 if for the connection's. The receiver may then let more be unread
// at once: this one doubles it, up to 4 MiB and 16 MiB, if the sender ran dry while
// a grant was on its way, and the connection's also if it is full of data for
// streams that nobody reads.
//
// # Close
//
// CLOSE is the last frame of a direction: its code and a reason, in UTF-8, say
// why the connection ends. The sender then half-closes the link where it can,
// and reads on for a moment, so that the operating system does not discard the
// frame on its way. The receiver closes the link at once. A link that ends without
// CLOSE has failed. The codes are those of package kith.
//
// # Floods
//
// An end counts frames without effect: empty DATA with neither open nor end,
// RESET and STOP that repeat or come too late, and a limit that is not higher, or
// for WINDOW not by 1,024. Each DATA frame with a payload and each stream
// opened takes four off the count. Above 10,000 the connection is closed.
package mux
