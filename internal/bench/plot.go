package main

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// Sizes of the plot in pixels.
const (
	plotWidth = 860
	plotLeft  = 140
	plotBar   = 630
	plotLine  = 18
)

// plotStyle follows the reader's colours, light or dark. Kith's bars stand out, and those
// of bare connections, which are a bound, stand back.
const plotStyle = `<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600; font-size: 14px }
.kith { fill: #0969da } .bar { fill: #8c959f } .raw { fill: #d0d7de }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .kith { fill: #4493f8 } .bar { fill: #6e7681 } .raw { fill: #3d444d } }
</style>
`

// plotClasses are the legend. The first whose prefix a system's name has is its class.
var plotClasses = []struct{ prefix, class, what string }{
	{"kith", "kith", "kith"},
	{"raw", "raw", "bare connections: no handlers, no limits"},
	{"", "bar", "others"},
}

// plot draws a group of bars for each case: the column that ranks, the best first, in
// proportion to the largest of the group.
func plot(rows []*row) []byte {
	var body bytes.Buffer
	y := plotLegend(&body, 10)
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

// plotLegend returns where the first group begins.
func plotLegend(out *bytes.Buffer, y int) int {
	y += plotLine / 2
	x := 10
	for _, c := range plotClasses {
		plotRect(out, c.class, x, y, plotLine)
		fmt.Fprintf(out, `<text x="%d" y="%d">%s</text>`+"\n", x+24, y, escape(c.what))
		x += 60 + 6*len(c.what) // about what a letter is wide
	}
	return y + plotLine/2
}

// plotRect draws a bar beside text whose foot is at y.
func plotRect(out *bytes.Buffer, class string, x, y int, width float64) {
	fmt.Fprintf(out, `<rect class="%s" x="%d" y="%d" width="%.1f" height="12" rx="2"/>`, class, x, y-10, width)
}

// plotGroup returns where the next group begins.
func plotGroup(out *bytes.Buffer, rows []*row, y int) int {
	w := rows[0].w
	less, better := true, "less is better"
	if w.rank == "calls" || w.rank == "mb" {
		less, better = false, "more is better"
	}
	y += plotLine
	fmt.Fprintf(out, `<text class="head" x="10" y="%d">%s</text>`+"\n", y, escape(rows[0].title()))
	y += plotLine
	fmt.Fprintf(out, `<text x="10" y="%d">%s</text>`+"\n", y, escape(fmt.Sprintf("%s (%s, %s)", w.what, headOf(w.rank), better)))
	for _, b := range barsOf(rows, less) {
		y += plotLine
		width := max(1, b.part*plotBar)
		fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="end">%s</text>`, plotLeft-8, y, escape(b.name))
		plotRect(out, b.class, plotLeft, y, width)
		fmt.Fprintf(out, `<text x="%.1f" y="%d">%s</text>`+"\n", plotLeft+width+6, y, number(b.value))
	}
	return y + plotLine
}

// A bar is one system's.
type bar struct {
	name, class string
	value, part float64 // part is that of the largest
}

// barsOf returns the bars of a group, the best first. Rows without a figure have none.
func barsOf(rows []*row, less bool) []bar {
	var bars []bar
	most := 0.0
	for _, r := range rows {
		s, ok := r.get(r.w.rank)
		if !ok {
			continue
		}
		most = max(most, s.Median)
		b := bar{name: r.sys.name, value: s.Median}
		for _, c := range slices.Backward(plotClasses) {
			if strings.HasPrefix(b.name, c.prefix) {
				b.class = c.class
			}
		}
		bars = append(bars, b)
	}
	slices.SortStableFunc(bars, func(a, b bar) int {
		if !less {
			a, b = b, a
		}
		return cmp.Compare(a.value, b.value)
	})
	for i := range bars {
		bars[i].part = bars[i].value / max(most, 1e-9)
	}
	return bars
}

func escape(s string) string {
	var out bytes.Buffer
	if err := xml.EscapeText(&out, []byte(s)); err != nil {
		return ""
	}
	return out.String()
}
