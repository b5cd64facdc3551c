// promdiff answers PromQL with Prometheus' own engine, for the tests to compare with.
//
// stdin, one JSON a line: {"data": [series…]} replaces the data, {"query": …} asks ─▶ engine ─▶ stdout, one JSON a query
// {"parse": …} ─▶ parser ─▶ stdout: the canonical text and its lines, or the error
//
// Floats are strings in the shortest form that reads as the same float, so that nothing is lost on the way. Data are
// held in memory as they came: no chunks, no index, and counter-reset hints of histograms untouched.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// request is one line of input. Times are milliseconds; a step of zero asks for the instant Start.
type request struct {
	Data  []series `json:"data"`
	Query string   `json:"query"`
	Parse *string  `json:"parse"`
	Start int64    `json:"start"`
	End   int64    `json:"end"`
	Step  int64    `json:"step"`
}

// answer is one line of output.
type answer struct {
	Error    string   `json:"error,omitempty"`
	Type     string   `json:"type,omitempty"`
	String   string   `json:"string,omitempty"`
	Lines    string   `json:"lines,omitempty"`
	Series   []series `json:"series,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Infos    []string `json:"infos,omitempty"`
}

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	starts := flag.Bool("start-timestamps", false, "use the times at which counters began")
	flag.Parse()
	engine := newEngine(*starts)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	lines, answers := json.NewDecoder(in), json.NewEncoder(out)
	data := memory(nil)
	for lines.More() {
		var asked request
		if err := lines.Decode(&asked); err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		if asked.Data != nil {
			loaded, err := load(asked.Data)
			if err != nil {
				return fmt.Errorf("loading: %w", err)
			}
			data = loaded
			continue
		}
		var given answer
		if asked.Parse != nil {
			given = parse(*asked.Parse)
		} else {
			given = evaluate(engine, data, asked)
		}
		if err := answers.Encode(given); err != nil {
			return fmt.Errorf("writing an answer: %w", err)
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func newEngine(starts bool) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples:               50_000_000,
		Timeout:                  time.Minute,
		LookbackDelta:            5 * time.Minute,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		EnableDelayedNameRemoval: true,
		UseStartTimestamps:       starts,
		Parser:                   language,
	})
}

// language has everything switched on.
var language = parser.NewParser(parser.Options{
	EnableExperimentalFunctions:  true,
	ExperimentalDurationExpr:     true,
	EnableExtendedRangeSelectors: true,
	EnableBinopFillModifiers:     true,
})

func parse(text string) answer {
	expr, err := language.ParseExpr(text)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{String: expr.String(), Lines: parser.Prettify(expr)}
}

func evaluate(engine *promql.Engine, data memory, asked request) answer {
	query, err := newQuery(engine, data, asked)
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer query.Close()
	result := query.Exec(context.Background())
	if result.Err != nil {
		return answer{Error: result.Err.Error()}
	}
	given := describe(result.Value)
	given.Warnings, given.Infos = result.Warnings.AsStrings(asked.Query, 0, 0)
	return given
}

func newQuery(engine *promql.Engine, data memory, asked request) (promql.Query, error) {
	ctx, start := context.Background(), time.UnixMilli(asked.Start)
	if asked.Step == 0 {
		return engine.NewInstantQuery(ctx, data, nil, asked.Query, start)
	}
	end, step := time.UnixMilli(asked.End), time.Duration(asked.Step)*time.Millisecond
	return engine.NewRangeQuery(ctx, data, nil, asked.Query, start, end, step)
}

func describe(value parser.Value) answer {
	given := answer{Type: string(value.Type()), Series: []series{}}
	switch value := value.(type) {
	case promql.String:
		given.String = value.V
	case promql.Scalar:
		given.Series = append(given.Series, series{Points: []point{{T: value.T, F: float(value.V)}}})
	case promql.Vector:
		for _, sample := range value {
			one := point{T: sample.T, F: float(sample.F), H: describeHistogram(sample.H)}
			given.Series = append(given.Series, series{Labels: sample.Metric.Map(), Points: []point{one}})
		}
	case promql.Matrix:
		for _, row := range value {
			out := series{Labels: row.Metric.Map()}
			for _, p := range row.Floats {
				out.Points = append(out.Points, point{T: p.T, F: float(p.F)})
			}
			for _, p := range row.Histograms {
				out.Points = append(out.Points, point{T: p.T, H: describeHistogram(p.H)})
			}
			given.Series = append(given.Series, out)
		}
	}
	return given
}
