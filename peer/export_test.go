package peer

// The mistakes that Plant can make.
const (
	KillsLosers      = killsLosers
	LargerWins       = largerWins
	AcceptorDrains   = acceptorDrains
	KeepsUnlisted    = keepsUnlisted
	KeepsInstances   = keepsInstances
	AbandonsAttempts = abandonsAttempts
	TrustsWinner     = trustsWinner
	StaysOnDrained   = staysOnDrained
)

// Set has the package make mistakes until the function that it returns is called.
func (m mistakes) Set() (unset func()) {
	planted = m
	return func() { planted = 0 }
}
