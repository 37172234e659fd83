package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// Sizes of the plot in pixels.
const (
	plotWidth = 860
	plotLeft  = 170
	plotBar   = 440
	plotLine  = 18
)

// plotStyle follows the reader's colours, light or dark. Kith's bars stand out.
const plotStyle = `<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600; font-size: 14px }
.bar { fill: #8c959f } .kith { fill: #0969da }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar { fill: #6e7681 } .kith { fill: #4493f8 } }
</style>
`

// plot draws a group of bars for each case: the column that ranks, in proportion to the
// largest of the group.
func plot(rows []*row) []byte {
	var body bytes.Buffer
	y := 10
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].title() == rows[0].title() {
			n++
		}
		y = plotGroup(&body, rows[:n], y)
		rows = rows[n:]
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`,
		plotWidth, y, plotWidth, y)
	out.WriteString("\n" + plotStyle)
	out.Write(body.Bytes())
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// plotGroup returns where the next group begins.
func plotGroup(out *bytes.Buffer, rows []*row, y int) int {
	w := rows[0].w
	better := "less is better"
	if w.rank == "calls" || w.rank == "mb" {
		better = "more is better"
	}
	y += plotLine
	fmt.Fprintf(out, `<text class="head" x="10" y="%d">%s</text>`+"\n", y,
		escape(fmt.Sprintf("%s: %s (%s, %s)", rows[0].title(), w.what, unitOf(w.rank), better)))
	most := 0.0
	for _, r := range rows {
		s, _ := r.get(w.rank)
		most = max(most, s.Median)
	}
	for _, r := range rows {
		s, ok := r.get(w.rank)
		if !ok {
			continue
		}
		y += plotLine
		class := "bar"
		if strings.HasPrefix(r.sys.name, "kith") {
			class = "bar kith"
		}
		width := max(1, s.Median/max(most, 1e-9)*plotBar)
		fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="end">%s</text>`, plotLeft-8, y, escape(r.sys.name))
		fmt.Fprintf(out, `<rect class="%s" x="%d" y="%d" width="%.1f" height="12" rx="2"/>`, class, plotLeft, y-10, width)
		fmt.Fprintf(out, `<text x="%.1f" y="%d">%s</text>`+"\n", plotLeft+width+6, y, number(s.Median))
	}
	return y + plotLine
}

func escape(s string) string {
	var out bytes.Buffer
	if err := xml.EscapeText(&out, []byte(s)); err != nil {
		return ""
	}
	return out.String()
}
