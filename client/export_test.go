package client

// GiveUp closes the present connection as if it had been idle for long, and
// reports false if a call is open.
func (c *Client) GiveUp() bool {
	cn := c.live.Load()
	return cn != nil && c.enter() && func() bool {
		defer c.loops.Done()
		return cn.giveUp()
	}()
}
