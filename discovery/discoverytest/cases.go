package discoverytest

// cases lists all cases. A test of this package holds every rule that they
// name against the source of package discovery.
var cases = concat(spreadCases, browserCases, hostileCases, closeCases)

func concat(groups ...[]testCase) []testCase {
	var all []testCase
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}
