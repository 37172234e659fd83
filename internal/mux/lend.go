package mux

// A LaneCall is a call that came on the lane and that whoever reads the link may
// run. One of Start and Run is called, once.
type LaneCall interface {
	// Start has another goroutine run the call. It must not block.
	Start()

	// Run runs it, while nobody reads the link. It may do what a handler may do:
	// block, panic, end its goroutine, close the connection. If it takes more than
	// MaxLead, or anybody calls [Conn.ReadOn], another goroutine reads.
	Run()

	// Late is called after a Run for which another goroutine was started.
	Late()
}

// Lend has whoever reads run the call, when all that was read has been taken, or
// start it, if there is more to read by then. It reports false, having done
// nothing, where it never does so, or has a call already. Only LaneData may call it.
func (c *Conn) Lend(call LaneCall) bool {
	if !c.timedReads || c.rd.call != nil {
		return false
	}
	c.rd.call = call
	return true
}

// startKept has the call that was kept run by another goroutine.
func (c *Conn) startKept() {
	if call := c.rd.call; call != nil {
		c.rd.call = nil
		call.Start()
	}
}

// lend runs the call that was kept, without the reading role, and takes it back. It
// reports false if somebody else has the role then: the caller is to touch nothing
// any more.
func (c *Conn) lend() (back bool) {
	rd, r := &c.rd, &c.reading
	if rd.r != rd.w || r.load() != RoleLoop || c.over.Load() {
		c.startKept()
		return true
	}
	call := rd.call
	rd.call = nil
	c.makeWatch()
	r.store(RoleLent)
	c.keep()
	if c.over.Load() {
		c.ReadOn() // who ended the connection may have looked before
	}
	returned := false
	defer func() {
		if !returned {
			c.ReadOn() // the handler ends this goroutine
		}
		if !back {
			call.Late()
		}
	}()
	call.Run()
	returned = true
	back = r.change(RoleLent, RoleLoop)
	return back
}
