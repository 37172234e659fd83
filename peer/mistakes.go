package peer

// mistakes are what a test has this package do wrong, to see that the simulation
// finds it.
type mistakes uint

// planted is zero but in such a test, which sets it while there is no node.
var planted mistakes

const (
	killsLosers      mistakes = 1 << iota // instead of draining them
	largerWins                            // of two diallers, at the end with the smaller ID
	acceptorDrains                        // so that both ends may
	keepsUnlisted                         // connections that the peer has dropped
	keepsInstances                        // connections of an instance that is no more
	abandonsAttempts                      // whose hello was sent, as another was faster
	trustsWinner                          // drains without asking whether the winner lives
	staysOnDrained                        // does not move a call that was refused as its connection drains
)

func (m mistakes) has(one mistakes) bool { return m&one != 0 }
