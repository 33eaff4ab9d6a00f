# Reports of a sweep in all forms.
. "$(dirname "$0")/common.sh"

expect 0 "$umed" synth --n 24 --size 32 -q -o data.h5
tiny_sweep data.h5 1 1 | sed 's/name = "tiny"/name = "busi"/; s/seeds = \[1\]/seeds = [1,2]/' >g.cfg
expect 0 "$umed" grid g.cfg -o sweep -q
same "$(grep -v 'hardly relies' err)" "" "quiet"
expect 0 "$umed" report sweep;      holds out "Table 1."; holds out "[58.15]"; holds out "image DSC"
lacks out "Table 2."
expect 0 "$umed" report sweep --table 2; holds out "Table 2."; lacks out "Table 1."
expect 0 "$umed" report sweep --format markdown; holds out "|---|---|---:|"
expect 0 "$umed" report sweep --format latex;    holds out '\end{tabular}'
expect 0 "$umed" report sweep --format csv
same "$(head -n 1 out)" "table,dataset,protector,bound,exploiter,defense,case,metric,paper,mean,sd,n"
same "$(grep -c '^[1-5],' out)" 354 "the paper's numbers"
same "$(awk -F, 'NR > 1 && NF != 12' out)" "" "twelve fields"
same "$(awk -F, '$1 == 1 && $2 == "busi" && $3 == "none" && $8 == "DSC" { print $9, $12 }' out)" "72.85 2"
expect 0 "$umed" check sweep/results.h5
expect 64 "$umed" report sweep --table 6
expect 64 "$umed" report sweep --format html; holds err "text markdown csv latex"
