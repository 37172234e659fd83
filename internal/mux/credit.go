package mux

// Windows grow up to these sizes.
const (
	maxStreamWindow = 4 << 20
	maxConnWindow   = 16 << 20
)

// frameCost is the credit that a DATA frame with n bytes of payload costs.
// One without payload is free: there are at most two of them in a stream's
// life that mean anything, and the rest are counted by waste.
func frameCost(n int) uint64 {
	if n == 0 {
		return 0
	}
	return uint64(n) + frameOverhead
}

// A sendWindow is the credit that the other side granted, in cost since the
// beginning.
type sendWindow struct {
	limit, sent uint64 // sent <= limit, always
}

func (w *sendWindow) room() uint64 { return w.limit - w.sent }

// raise takes a new limit from the other side and returns by how much it is
// higher; a lower one is old news.
func (w *sendWindow) raise(limit uint64) uint64 {
	if limit <= w.limit {
		return 0
	}
	d := limit - w.limit
	w.limit = limit
	return d
}

// minPayload is the payload below which a sender does not cut a frame to fit
// its credit: it waits. A receiver grants when half a window is due, so
// waiting with less than that left cannot last.
const minPayload = 2048

// fit returns how much of n bytes of payload may go into one frame, 0 if the
// sender has to wait.
func (w *sendWindow) fit(n int) int {
	room := w.room()
	if room < frameOverhead+uint64(min(n, minPayload)) {
		return 0
	}
	return int(min(uint64(n), room-frameOverhead, maxData))
}

// A recvWindow is the credit granted to the other side, in cost since the
// beginning. used <= got <= limit, always; limit-used <= size.
type recvWindow struct {
	size  uint64 // how much may be unread at once
	max   uint64 // size does not grow beyond it
	limit uint64 // granted
	got   uint64 // received
	used  uint64 // read by the application, or discarded
	// ahead is true if at the last grant the sender still had room: if it
	// waited for that grant, then because of the way it had to travel, and a
	// larger window would help.
	ahead bool
}

func newRecvWindow(size, most uint64) recvWindow {
	return recvWindow{size: size, max: most, limit: size}
}

// receive takes a frame's cost. It returns false if the sender had not that
// much credit.
func (w *recvWindow) receive(cost uint64) bool {
	if cost > w.limit-w.got {
		return false
	}
	w.got += cost
	return true
}

// maxGrant is how much is granted at once, at most. Half of a large window would
// be late: a window of 4 MiB carries 100 Mbit/s over a round trip of 200 ms,
// but not if the sender has to do without half of it for as long as that takes to
// arrive (84 % of the link then).
const maxGrant = 512 << 10

// due reports whether it is time to grant more.
func (w *recvWindow) due() bool { return w.used+w.size-w.limit >= min(w.size/2, maxGrant) }

// full reports whether a sender may have to wait.
func (w *recvWindow) full() bool { return w.limit-w.got < frameOverhead+minPayload }

// wantGrowth returns by how much the window should grow, given that the sender
// said that it had to wait; 0 if not at all.
func (w *recvWindow) wantGrowth() uint64 {
	if !w.ahead {
		return 0 // it waited for our reader, not for the link
	}
	w.ahead = false
	return min(w.size, w.max-w.size)
}

// grant returns the new limit to announce.
func (w *recvWindow) grant() uint64 {
	w.ahead = !w.full()
	w.limit = w.used + w.size
	return w.limit
}

// A waste counts frames that changed nothing. Some are normal, where frames
// cross; a flood of them is an attack that costs its sender less than us.
type waste struct{ n int }

// maxWaste is how many useless frames a connection bears, and usefulWorth how
// many of them one useful frame makes up for.
const (
	maxWaste    = 10_000
	usefulWorth = 4
)

// useless counts one, and returns false if it was one too many.
func (w *waste) useless() bool {
	w.n++
	return w.n <= maxWaste
}

func (w *waste) useful() { w.n = max(0, w.n-usefulWorth) }
